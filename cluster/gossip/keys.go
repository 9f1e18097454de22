package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"
)

// SetKeys replaces the keys, of which the first encrypts and all decrypt, from the next packet and
// stream on. Whether gossip is encrypted at all is decided at start: nodes that do and nodes that do
// not don't understand each other.
func (p *Pool) SetKeys(keys [][]byte) error {
	switch {
	case len(keys) == 0 && len(p.opts.Keys) == 0:
		return nil
	case len(keys) == 0:
		return errors.New("gossip can't do without keys once it has begun with some: start the node anew")
	case len(p.opts.Keys) == 0:
		return errors.New("gossip has begun without keys and can't be given some: start the node anew")
	}
	if err := validateKeys(keys); err != nil {
		return err
	}
	return p.keys.set(keys)
}

// keyring is memberlist's. Whoever decrypts goes through its list without a lock, and taking a key out
// shifts what comes after it in place: only the last one may be taken out.
type keyring struct {
	mu   sync.Mutex
	ring memberlist.Keyring
}

// set makes keys, of which there is at least one, those of the ring, in their order.
func (k *keyring) set(keys [][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		if err := k.ring.AddKey(key); err != nil {
			return err
		}
	}
	old := slices.DeleteFunc(slices.Clone(k.ring.GetKeys()), func(key []byte) bool {
		return slices.ContainsFunc(keys, func(wanted []byte) bool { return bytes.Equal(key, wanted) })
	})
	wanted := keys[:1]
	if len(old) > 0 {
		wanted = keys
	}
	for _, key := range slices.Backward(wanted) { // Each comes before all others, so that the old are last.
		if err := k.ring.UseKey(key); err != nil {
			return err
		}
	}
	for _, key := range slices.Backward(old) {
		if err := k.ring.RemoveKey(key); err != nil {
			return err
		}
	}
	return nil
}

func validateKeys(keys [][]byte) error {
	for i, key := range keys {
		if n := len(key); n != 16 && n != 24 && n != 32 {
			return fmt.Errorf("gossip key %d of %d has %d bytes: must be 16, 24 or 32", i+1, len(keys), n)
		}
	}
	return nil
}

// mismatches are what memberlist says when keys do not fit, and what is meant.
var mismatches = []struct{ says, means string }{
	{"encryption is configured but remote state is not encrypted", "it gossips without a key, and this node has keys: give all nodes of the cluster the same keys, or none"},
	{"remote state is encrypted and encryption is not configured", "it gossips with a key, and this node has none: give all nodes of the cluster the same keys, or none"},
	{"no installed keys could decrypt", "it gossips with a key that this node does not have, or is of another cluster"},
	{"unsupported encryption version", "it gossips without a key, or in a way that this node does not know"},
}

// mismatch says in words what a text of memberlist means, if it is about keys.
func mismatch(text string) (words string, ok bool) {
	text = strings.ToLower(text)
	for _, m := range mismatches {
		if strings.Contains(text, m.says) {
			return m.means, true
		}
	}
	return "", false
}
