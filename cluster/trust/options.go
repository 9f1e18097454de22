package trust

import (
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Store. The zero value is plain connections and plain gossip.
type Options struct {
	// CertFile and KeyFile are this node's certificate and private key, CAFile the certificates of the
	// authority that signs those of all nodes; all in PEM, and all given or none.
	CertFile, KeyFile, CAFile string
	// ServerName is a name that the certificates of all nodes have been issued for; empty is any.
	ServerName string
	// GossipKeyFile has the keys of gossip, one on each line.
	GossipKeyFile string

	Logger     *slog.Logger          // nil drops it
	Registerer prometheus.Registerer // nil keeps no metrics
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate says what can't be.
func (o *Options) Validate() error {
	given := 0
	for _, file := range []string{o.CertFile, o.KeyFile, o.CAFile} {
		if file != "" {
			given++
		}
	}
	switch {
	case given != 0 && given != 3:
		return errors.New("a certificate, its key and the authority's certificate belong together: give all or none")
	case given == 0 && o.ServerName != "":
		return errors.New("a server name needs certificates")
	}
	return nil
}

// tls says whether connections are to be secured.
func (o *Options) tls() bool { return o.CertFile != "" }
