package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// A fleet is a number of machines that each expose the series of a node_exporter, with values of
// their own: increments are drawn for every series, so that nothing is a shifted copy of another.
type fleet struct {
	series []*source // of all machines, machine by machine
	rng    *rand.Rand
}

// source is one series with the state of its values.
type source struct {
	labels  []label // sorted by name
	wire    []byte  // the labels as they stand in a remote write 1.0 TimeSeries
	machine int
	shape   shape
	value   float64
	scale   float64 // of increments
	idle    float64 // probability that a counter stands still for a scrape
	parent  *source // of a histogram bucket: the next smaller one, which it includes
}

type label struct{ name, value string }

// shape says how values move.
type shape int

const (
	constant    shape = iota
	counter           // whole increments
	counterCPU        // increments of hundredths, as CPU seconds have
	counterMS         // whole milliseconds times 0.001: not exactly decimal
	gaugeBytes        // a walk in pages of 4096
	gaugeTenths       // a walk in hundredths, as load averages are
	gaugeFloat        // all digits
	bucket            // cumulative histogram bucket
)

// family is a metric and the label values it is exposed with.
type family struct {
	name   string
	shape  shape
	label  string
	values []string
	label2 string
	vals2  []string
}

func numbers(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = prefix + strconv.Itoa(i)
	}
	return out
}

// families of one machine: about 500 series, six in ten of them constant, as on a machine that is
// mostly idle.
func families() []family {
	devices := []string{"eth0", "eth1", "lo", "docker0"}
	disks := []string{"vda", "vdb", "vdc"}
	mounts := []string{"/", "/boot", "/data", "/var/log"}
	modes := []string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"}
	les := []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"}
	fs := []family{
		{"node_cpu_seconds_total", counterCPU, "cpu", numbers("", 8), "mode", modes},
		{"http_request_duration_seconds_bucket", bucket, "handler", []string{"/api", "/metrics", "/query"}, "le", les},
		{"node_load1", gaugeTenths, "", nil, "", nil},
		{"node_load5", gaugeTenths, "", nil, "", nil},
		{"node_load15", gaugeTenths, "", nil, "", nil},
		{"node_time_seconds", gaugeFloat, "", nil, "", nil},
		{"node_scrape_collector_duration_seconds", gaugeFloat, "collector", numbers("collector", 12), "", nil},
		{"node_scrape_collector_success", constant, "collector", numbers("collector", 12), "", nil},
		{"node_systemd_unit_state", constant, "name", numbers("unit", 20), "state", []string{"active", "failed", "inactive"}},
		{"node_vmstat", counter, "field", numbers("field", 10), "", nil},
	}
	for _, m := range []string{"MemFree", "MemAvailable", "Cached", "Buffers", "Active", "Inactive", "Dirty", "AnonPages"} {
		fs = append(fs, family{"node_memory_" + m + "_bytes", gaugeBytes, "", nil, "", nil})
	}
	for _, m := range []string{"MemTotal", "SwapTotal", "HugePages", "VmallocTotal", "CommitLimit", "DirectMap", "Hugetlb", "KernelStack"} {
		fs = append(fs, family{"node_memory_" + m + "_bytes", constant, "", nil, "", nil})
	}
	for _, m := range []string{"receive_bytes", "receive_packets", "transmit_bytes", "transmit_packets"} {
		fs = append(fs, family{"node_network_" + m + "_total", counter, "device", devices, "", nil})
	}
	for _, m := range []string{
		"receive_errs", "receive_drop", "receive_fifo", "receive_frame", "receive_multicast", "receive_compressed",
		"transmit_errs", "transmit_drop", "transmit_fifo", "transmit_colls", "transmit_carrier", "transmit_compressed",
	} {
		fs = append(fs, family{"node_network_" + m + "_total", constant, "device", devices, "", nil})
	}
	for _, m := range []string{"mtu_bytes", "up", "speed_bytes", "flags", "carrier", "dormant", "iface_id", "protocol_type"} {
		fs = append(fs, family{"node_network_" + m, constant, "device", devices, "", nil})
	}
	for _, m := range []string{"reads_completed", "read_bytes", "writes_completed", "written_bytes"} {
		fs = append(fs, family{"node_disk_" + m + "_total", counter, "device", disks, "", nil})
	}
	for _, m := range []string{"io_time_seconds", "read_time_seconds", "write_time_seconds"} {
		fs = append(fs, family{"node_disk_" + m + "_total", counterMS, "device", disks, "", nil})
	}
	for _, m := range []string{"avail_bytes", "free_bytes"} {
		fs = append(fs, family{"node_filesystem_" + m, gaugeBytes, "mountpoint", mounts, "", nil})
	}
	for _, m := range []string{"size_bytes", "files", "files_free", "readonly", "device_error"} {
		fs = append(fs, family{"node_filesystem_" + m, constant, "mountpoint", mounts, "", nil})
	}
	return fs
}

// newFleet makes machines until there are n series.
func newFleet(n int, seed uint64) *fleet {
	f := &fleet{rng: rand.New(rand.NewPCG(seed, 0x5eed))}
	for m := 0; len(f.series) < n; m++ {
		f.addMachine(m, n)
	}
	return f
}

func (f *fleet) addMachine(m, n int) {
	instance := instanceOf(m)
	for _, fam := range families() {
		for _, v := range orNone(fam.values) {
			var below *source
			for _, w := range orNone(fam.vals2) {
				if len(f.series) >= n {
					return
				}
				s := f.newSource(m, fam, instance, v, w)
				if fam.shape == bucket {
					s.parent, below = below, s
				}
				f.series = append(f.series, s)
			}
		}
	}
}

// instanceOf and clusterOf are labels of a machine's series.
func instanceOf(m int) string { return fmt.Sprintf("10.%d.%d.%d:9100", m>>16, m>>8&255, m&255) }
func clusterOf(m int) string  { return "dc" + strconv.Itoa(m%4) }

func orNone(vs []string) []string {
	if len(vs) == 0 {
		return []string{""}
	}
	return vs
}

func (f *fleet) newSource(m int, fam family, instance, v, w string) *source {
	s := &source{machine: m, shape: fam.shape}
	s.labels = append(s.labels, label{"__name__", fam.name})
	for _, l := range []label{
		{"cluster", clusterOf(m)}, {fam.label, v}, {"instance", instance}, {"job", "node"}, {fam.label2, w},
	} {
		if l.name != "" {
			s.labels = append(s.labels, l)
		}
	}
	sortLabels(s.labels)
	s.scale = math.Exp(f.rng.NormFloat64()*1.5) * 20
	s.idle = f.rng.Float64() * f.rng.Float64()
	switch fam.shape {
	case constant:
		s.value = float64(f.rng.IntN(3))
		if f.rng.IntN(3) == 0 {
			s.value = float64(f.rng.IntN(1 << 20))
		}
	case gaugeBytes:
		s.value = float64(f.rng.IntN(1<<21)) * 4096
	case gaugeFloat:
		s.value = f.rng.Float64()
	case counter, counterCPU, counterMS, bucket:
		s.value = math.Round(f.rng.Float64() * 1e6)
	}
	s.wire = appendWireLabels(nil, s.labels)
	return s
}

// step moves every series to its next value.
func (f *fleet) step() {
	for _, s := range f.series {
		f.move(s)
	}
}

func (f *fleet) move(s *source) {
	r := f.rng
	switch s.shape {
	case counter:
		if r.Float64() >= s.idle {
			s.value += math.Round(r.ExpFloat64() * s.scale)
		}
	case counterCPU:
		if r.Float64() >= s.idle {
			s.value = math.Round(s.value*100+r.ExpFloat64()*s.scale) / 100
		}
	case counterMS:
		if r.Float64() >= s.idle {
			s.value = (math.Round(s.value*1000) + math.Round(r.ExpFloat64()*s.scale)) * 0.001
		}
	case gaugeBytes:
		s.value = math.Max(0, s.value+math.Round(r.NormFloat64()*s.scale)*4096)
	case gaugeTenths:
		s.value = math.Max(0, math.Round(s.value*100+r.NormFloat64()*10)/100)
	case gaugeFloat:
		s.value = math.Abs(s.value + r.NormFloat64()*1e-3)
	case bucket:
		// A bucket grows by what fell into it, and by what its smaller neighbour grew.
		if s.parent == nil {
			s.scale = math.Round(r.ExpFloat64() * 3)
		} else {
			s.scale = s.parent.scale + math.Round(r.ExpFloat64())
		}
		s.value += s.scale
	}
}

// churn replaces one in every n machines' instance label, as a redeployment does: its series end
// and new ones begin. It returns how many.
func (f *fleet) churn(round, n int) (replaced int64) {
	for _, s := range f.series {
		if (s.machine+round)%n != 0 {
			continue
		}
		labels := append([]label(nil), s.labels...)
		for i, l := range labels {
			if l.name == "instance" {
				labels[i].value = fmt.Sprintf("10.200.%d.%d:9100", round&255, s.machine&255) + "-" + strconv.Itoa(s.machine)
			}
		}
		s.labels = labels
		s.wire = appendWireLabels(nil, labels)
		replaced++
	}
	return replaced
}
