package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/util/strutil"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/consensus"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/ruler"
	"github.com/barograph-db/barograph/ruler/assign"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/notify"
	"github.com/barograph-db/barograph/ruler/rules"
)

// ruling is the node's part in the evaluation of rules.
type ruling struct {
	*ruler.Ruler
	notifier *notify.Notifier
	alone    *consensus.Group // of the node by itself; nil in a cluster
	before   *alone           // what the node had while it was by itself; nil if that is nothing
}

// openRules prepares the evaluation of rules over the stack; it starts nothing.
func (n *Node) openRules(others *region, s *stack) (_ *ruling, err error) {
	r := &ruling{notifier: n.notifier}
	id, _, err := cluster.Identity(n.cfg.disk, n.cfg.Storage.Path)
	if err != nil {
		return nil, err
	}
	c := n.cfg.Rules
	opts := ruler.Options{
		Self: id.String(), Query: ruleQuery(s.engine), Append: newRuleAppender(s.appender).append, Notify: n.notify,
		ExternalURL: n.external, Resend: time.Duration(c.ResendDelay), CatchUp: time.Duration(c.CatchUp),
		Grace: time.Duration(c.Grace), Concurrency: c.MaxConcurrentEvals, Timeout: time.Duration(n.options.Query.Timeout),
		Logger: n.logger, Registerer: n.registry,
	}
	var own *alone
	if others != nil {
		if r.before, err = n.openBefore(id); err != nil {
			return nil, err
		}
		opts.Ledger, opts.Members, opts.Propose = others.rules, others.members, others.proposeRules
	} else {
		if own, err = n.openAlone(id, n.registry); err != nil {
			return nil, err
		}
		r.alone = own.group
		s.parts = append(s.parts, own.group.Run)
		opts.Ledger, opts.Members, opts.Propose = own.ledger, own.members, own.propose
	}
	if r.Ruler, err = ruler.New(opts, n.file.Load().ruleSettings()); err != nil {
		return nil, errors.Join(err, r.close())
	}
	for _, route := range r.Routes() {
		s.routes = append(s.routes, n.ruleRoute(route))
	}
	n.ruling.Store(r)
	r.Apply(n.file.Load().ruleSettings()) // For the case of a reload in the meantime.
	return r, nil
}

// ruleRoute bounds the time in which a group may come.
func (n *Node) ruleRoute(r ruler.Route) route {
	return route{r.Pattern, bodyDeadline(time.Duration(n.options.Web.BodyTimeout), r.Handler)}
}

// close gives back what openRules took, after run has returned.
func (r *ruling) close() error {
	if r.alone == nil {
		return nil
	}
	return r.alone.Close()
}

// run evaluates rules and tells of alerts until ctx ends. What has been agreed upon by then is told.
func (r *ruling) run(ctx context.Context) error {
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	var told sync.WaitGroup
	told.Go(func() { _ = r.notifier.Run(telling) }) // It has no error.
	defer told.Wait()
	defer stop()
	if r.before != nil {
		if r.Carry(ctx, r.before.groups()) != nil {
			return nil // It goes on at the next start.
		}
		if err := r.before.remove(); err != nil {
			return err
		}
	}
	return r.Run(ctx)
}

// ruleSettings are what the file says about rules.
func (f *File) ruleSettings() ruler.Settings {
	return ruler.Settings{Rules: f.ruleOptions, Files: f.rules, ExternalLabels: f.externalLabels()}
}

// loadFile reads the configuration file, and the files that it names. Without an error Alertmanagers
// are those of the file from then on; all else is apply's.
func (n *Node) loadFile() (*File, error) {
	f, err := LoadFile(n.cfg.ConfigFile)
	if err == nil {
		err = f.loadRules(n.cfg.ConfigFile, n.cfg.features())
	}
	if err == nil {
		err = n.notifier.Apply(f.alerting, f.externalLabels())
	}
	return f, err
}

// CheckFile reads a configuration file and the files that it names, with all features on.
func CheckFile(path string) (*File, error) {
	f, err := LoadFile(path)
	if err == nil {
		err = f.loadRules(path, querier.Features())
	}
	return f, err
}

// loadRules reads the rule files and the section alerting. Names in them are relative to the
// configuration file's directory.
func (f *File) loadRules(path string, features []string) (err error) {
	dir := filepath.Dir(path)
	f.ruleOptions = rules.Options{
		Parser:   querier.NewParser(features),
		Interval: time.Duration(f.Global.EvaluationInterval), QueryOffset: time.Duration(f.Global.RuleQueryOffset),
	}
	patterns := make([]string, len(f.RuleFiles))
	for i, p := range f.RuleFiles {
		if patterns[i] = p; !filepath.IsAbs(p) {
			patterns[i] = filepath.Join(dir, p)
		}
	}
	if f.rules, err = rules.Load(patterns, f.ruleOptions); err != nil {
		return err
	}
	if err := f.ruleSettings().Validate(); err != nil {
		return fmt.Errorf("rule_files: %w", err)
	}
	if f.alerting, err = notify.Parse(f.Alerting.node, dir); err != nil {
		return fileError(path, err)
	}
	return nil
}

// notify queues alerts for the Alertmanagers.
func (n *Node) notify(notices []ruler.Notice) {
	base := strings.TrimSuffix(n.external.String(), "/")
	alerts := make([]notify.Alert, len(notices))
	for i, a := range notices {
		alerts[i] = notify.Alert{
			Labels: a.Labels, Annotations: a.Annotations,
			StartsAt: time.UnixMilli(a.StartsAt), EndsAt: time.UnixMilli(a.EndsAt),
			GeneratorURL: base + strutil.TableLinkForExpression(a.Expr),
		}
	}
	n.notifier.Send(alerts)
}

// members are the nodes that may evaluate rules. One that drains is to be gone soon.
func (r *region) members() []assign.Member {
	p := r.cluster.Placement()
	if p == nil {
		return nil
	}
	leader, _ := r.cluster.Leader()
	members := make([]assign.Member, len(p.Nodes))
	for i, n := range p.Nodes {
		members[i] = assign.Member{
			ID: n.ID.String(), Alive: n.State == placement.Active && r.cluster.Alive(n.ID), Leading: n.ID == leader,
		}
	}
	return members
}

func (r *region) proposeRules(ctx context.Context, command []byte) ([]byte, error) {
	return r.cluster.Propose(ctx, ledger.Name, command)
}
