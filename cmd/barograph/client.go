package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/version"
)

// target is the server a command talks to.
type target struct {
	url        string
	configFile string
}

// register defines the flags that name the server.
func (t *target) register(clause *kingpin.CmdClause) {
	clause.Flag("url", "Address of the server.").Default("http://localhost:11013").StringVar(&t.url)
	clause.Flag("http.config.file", "File with the HTTP client's settings (TLS, users, tokens), in Prometheus' format.").
		PlaceHolder("FILE").StringVar(&t.configFile)
}

// base is the server's address.
func (t *target) base() (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(t.url, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("--url: %q is not the address of a server (like http://localhost:11013)", t.url)
	}
	return u, nil
}

// transport sends requests with the settings of the configuration file.
func (t *target) transport() (http.RoundTripper, error) {
	cfg := &config.HTTPClientConfig{}
	*cfg = config.DefaultHTTPClientConfig
	if t.configFile != "" {
		var err error
		if cfg, _, err = config.LoadHTTPConfigFile(t.configFile); err != nil {
			return nil, fmt.Errorf("--http.config.file: %w", err)
		}
	}
	rt, err := config.NewRoundTripperFromConfig(*cfg, "barograph", config.WithUserAgent(version.ComponentUserAgent("barograph")))
	if err != nil {
		return nil, fmt.Errorf("--http.config.file: %w", err)
	}
	return rt, nil
}
