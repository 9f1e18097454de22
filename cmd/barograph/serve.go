package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/promslog/flag"

	"github.com/barograph-db/barograph/cmd/barograph/node"
)

func serveCommand(app *kingpin.Application) command {
	clause := app.Command("serve", "Run a node.")
	cfg := &node.Config{}
	cfg.Register(clause)
	log := &promslog.Config{Level: promslog.NewLevel(), Format: promslog.NewFormat()}
	clause.Flag(flag.LevelFlagName, flag.LevelFlagHelp).Default("info").SetValue(log.Level)
	clause.Flag(flag.FormatFlagName, flag.FormatFlagHelp).Default("logfmt").SetValue(log.Format)
	return command{clause: clause, run: func(s streams) error {
		log.Writer = s.err
		cfg.Logger, cfg.LogLevel = promslog.New(log), log.Level
		cfg.Flags = flagValues(clause)
		return serve(*cfg)
	}}
}

// flagValues are the flags as they are in force, by name.
func flagValues(clause *kingpin.CmdClause) map[string]string {
	values := map[string]string{}
	for _, f := range clause.Model().Flags {
		values[f.Name] = f.Value.String()
	}
	return values
}

// serve runs a node until the process is told to stop: SIGTERM or SIGINT ends it, SIGHUP loads the
// configuration anew. A second SIGTERM or SIGINT kills the process at once.
func serve(cfg node.Config) error {
	// Some of a container's memory is not the collector's to manage, hence not all of it.
	if _, err := memlimit.Set(memlimit.WithRatio(0.9), memlimit.WithProvider(memlimit.FromCgroup)); err != nil {
		cfg.Logger.Warn("The memory limit of the control group could not be read", "err", err)
	}
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)

	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-hup:
				_ = n.Reload() // It logs what it finds.
			case <-done:
				return
			}
		}
	})
	err = n.Run(ctx)
	signal.Stop(hup)
	close(done)
	wg.Wait()
	return err
}
