package notify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	_ "github.com/prometheus/prometheus/discovery/dns"  // dns_sd_configs
	_ "github.com/prometheus/prometheus/discovery/file" // file_sd_configs
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"
)

// Config is the section alerting of prometheus.yml.
type Config struct {
	// AlertRelabelConfigs change or drop alerts before they are sent to any Alertmanager.
	AlertRelabelConfigs []*relabel.Config
	// Alertmanagers are sets of Alertmanagers that are reached alike.
	Alertmanagers []*SetConfig
}

// SetConfig says where some Alertmanagers are and how they are reached.
type SetConfig struct {
	Discovery  discovery.Configs       `yaml:"-"`
	HTTPClient config.HTTPClientConfig `yaml:",inline"`
	// Scheme is http or https, unless a target's label __scheme__ says so.
	Scheme string `yaml:"scheme,omitempty"`
	// PathPrefix comes before /api/v2/alerts.
	PathPrefix string `yaml:"path_prefix,omitempty"`
	// Timeout of a request.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// APIVersion is v2, the only one that there still is.
	APIVersion string `yaml:"api_version"`
	// RelabelConfigs change or drop targets.
	RelabelConfigs []*relabel.Config `yaml:"relabel_configs,omitempty"`
	// AlertRelabelConfigs change or drop alerts for these Alertmanagers.
	AlertRelabelConfigs []*relabel.Config `yaml:"alert_relabel_configs,omitempty"`
}

const apiVersion = "v2"

// UnmarshalYAML is called by libraries that read YAML.
func (c *SetConfig) UnmarshalYAML(unmarshal func(any) error) error {
	*c = SetConfig{
		HTTPClient: config.DefaultHTTPClientConfig,
		Scheme:     "http",
		Timeout:    model.Duration(10 * time.Second),
		APIVersion: apiVersion,
	}
	if err := discovery.UnmarshalYAMLWithInlineConfigs(c, unmarshal); err != nil {
		return err
	}
	return c.validate()
}

func (c *SetConfig) validate() error {
	switch c.APIVersion {
	case apiVersion:
	case "v1":
		return errors.New("api_version v1 is gone from Alertmanager since 0.27; use v2, which each since 0.16 has")
	default:
		return fmt.Errorf("api_version %q is not known; the only one is %s", c.APIVersion, apiVersion)
	}
	if !isScheme(c.Scheme) {
		return fmt.Errorf("scheme %q is neither http nor https", c.Scheme)
	}
	if c.Timeout <= 0 {
		return errors.New("timeout must be above zero")
	}
	if err := c.HTTPClient.Validate(); err != nil {
		return err
	}
	if err := validateRelabel("relabel_configs", c.RelabelConfigs); err != nil {
		return err
	}
	if err := validateRelabel("alert_relabel_configs", c.AlertRelabelConfigs); err != nil {
		return err
	}
	if len(c.RelabelConfigs) > 0 {
		return nil // Which may make an address of anything.
	}
	for _, d := range c.Discovery {
		static, _ := d.(discovery.StaticConfig)
		for _, g := range static {
			for _, t := range g.Targets {
				if err := checkAddress(string(t[model.AddressLabel])); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func isScheme(s string) bool { return s == "http" || s == "https" }

// checkAddress tells those who give a URL.
func checkAddress(addr string) error {
	if addr == "" || strings.Contains(addr, "/") {
		return fmt.Errorf("target %q is not HOST:PORT; scheme and path have keys of their own", addr)
	}
	return nil
}

func validateRelabel(key string, configs []*relabel.Config) error {
	for i, rc := range configs {
		if rc == nil {
			return fmt.Errorf("%s: entry %d is empty", key, i+1)
		}
		if err := rc.Validate(model.UTF8Validation); err != nil {
			return fmt.Errorf("%s: entry %d: %w", key, i+1, err)
		}
	}
	return nil
}

// Parse reads the section, which may be nil. Names of files in it are relative to dir. The error joins
// all that is wrong; each begins with "line N: ".
func Parse(section *yaml.Node, dir string) (*Config, error) {
	c := &Config{}
	if section == nil || section.Kind == 0 || section.Tag == "!!null" {
		return c, nil
	}
	n, err := written(section)
	if err != nil {
		return nil, err
	}
	if n.Kind != yaml.MappingNode {
		return nil, lineError(n, "alerting must be a mapping (key: value)")
	}
	var errs []error
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case seen[key.Value]:
			errs = append(errs, lineError(key, "key %q is given twice", key.Value))
		case key.Value == "alert_relabel_configs":
			errs = append(errs, c.readRelabel(value))
		case key.Value == "alertmanagers":
			errs = append(errs, c.readSets(value))
		default:
			errs = append(errs, lineError(key, "unknown key %q in alerting", key.Value))
		}
		seen[key.Value] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, s := range c.Alertmanagers {
		s.Discovery.SetDirectory(dir)
		s.HTTPClient.SetDirectory(dir)
	}
	return c, nil
}

func (c *Config) readRelabel(n *yaml.Node) error {
	if err := strict(n, &c.AlertRelabelConfigs); err != nil {
		return err
	}
	if err := validateRelabel("alert_relabel_configs", c.AlertRelabelConfigs); err != nil {
		return lineError(n, "%w", err)
	}
	return nil
}

// readSets reads them one by one, so that what the libraries say without a line has that of the set.
func (c *Config) readSets(n *yaml.Node) error {
	if n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return lineError(n, "alertmanagers must be a list")
	}
	var errs []error
	for _, item := range n.Content {
		if item.Kind != yaml.MappingNode {
			errs = append(errs, lineError(item, "each entry of alertmanagers must be a mapping (key: value)"))
			continue
		}
		if err := supported(item); err != nil {
			errs = append(errs, err)
			continue
		}
		s := &SetConfig{}
		errs = append(errs, strict(item, s))
		c.Alertmanagers = append(c.Alertmanagers, s)
	}
	return errors.Join(errs...)
}

// supported returns an error that names the keys of a set that Prometheus has and we have not.
func supported(set *yaml.Node) error {
	var errs []error
	for i := 0; i < len(set.Content); i += 2 {
		key := set.Content[i]
		switch {
		case key.Value == "file_sd_configs", key.Value == "dns_sd_configs":
		case strings.HasSuffix(key.Value, "_sd_configs"):
			errs = append(errs, lineError(key,
				"%s is not supported: Alertmanagers are found by static_configs, file_sd_configs and dns_sd_configs", key.Value))
		case key.Value == "sigv4":
			errs = append(errs, lineError(key, "sigv4 is not supported"))
		}
	}
	return errors.Join(errs...)
}
