package trust

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
)

// maxKeys is more than a rotation needs: each packet that none decrypts is tried with all.
const maxKeys = 8

// parseKeys reads the keys of gossip. Errors name the line and nothing of what is in it.
func parseKeys(text []byte) (keys [][]byte, err error) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.Strict().AppendDecode(nil, line)
		if err != nil {
			return nil, fmt.Errorf("line %d is not base64", number)
		}
		if n := len(key); n != 16 && n != 24 && n != 32 {
			return nil, fmt.Errorf("the key on line %d has %d bytes, and not 16, 24 or 32", number, n)
		}
		for _, other := range keys {
			if bytes.Equal(other, key) {
				return nil, fmt.Errorf("the key on line %d is there before", number)
			}
		}
		if keys = append(keys, key); len(keys) > maxKeys {
			return nil, fmt.Errorf("more than %d keys", maxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no key is in it")
	}
	return keys, nil
}
