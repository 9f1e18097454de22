package ruler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

// digest tells rule files from others.
func digest(files []rules.Source) string {
	if len(files) == 0 {
		return ""
	}
	h := sha256.New()
	part := func(s string) {
		_, _ = h.Write([]byte{byte(len(s) >> 24), byte(len(s) >> 16), byte(len(s) >> 8), byte(len(s))})
		_, _ = h.Write([]byte(s))
	}
	for _, f := range files {
		for _, g := range f.Groups {
			part(f.Path)
			part(g.Name)
			part(g.YAML)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// refusedFor is how long files that were refused are not proposed again.
const refusedFor = time.Minute

// tellFiles proposes this node's rule files whenever they are others than it proposed last.
func (r *Ruler) tellFiles(ctx context.Context) {
	for {
		wait := time.Duration(0) // for what to change
		for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
			view, _ := r.opts.Ledger.View()
			s := r.settings.Load()
			if view.Digests[r.opts.Self] == s.digest {
				break
			}
			_, err := r.change(ctx, filesCommand(r.opts.Self, s))
			if err == nil {
				r.opts.Logger.Info("The rule files have changed", "files", len(s.Files))
				break
			}
			var refused *ledger.RefusedError
			if errors.As(err, &refused) {
				r.opts.Logger.Error("The rule files are refused", "err", err)
				wait = refusedFor
				break
			}
			if !sleep(ctx, backoff) {
				return
			}
		}
		if !r.awaitFiles(ctx, wait) {
			return
		}
	}
}

// awaitFiles waits for other settings, or for so long if that is not 0. It returns false when ctx has
// ended.
func (r *Ruler) awaitFiles(ctx context.Context, most time.Duration) bool {
	var over <-chan time.Time
	if most > 0 {
		t := time.NewTimer(most)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-r.filesApplied:
	case <-over:
	}
	return true
}

func filesCommand(self string, s *settings) *ledger.Command {
	f := &ledger.Files{Node: self, Digest: s.digest}
	for _, src := range s.Files {
		for _, g := range src.Groups {
			f.Groups = append(f.Groups, ledger.Source{Namespace: src.Path, Name: g.Name, YAML: g.YAML})
		}
	}
	return &ledger.Command{Files: f}
}
