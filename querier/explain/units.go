package explain

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Time is in milliseconds since 1970. JSON has it in seconds, as all of the API.
type Time int64

// MarshalJSON writes seconds.
func (t Time) MarshalJSON() ([]byte, error) { return seconds(float64(t) / 1e3), nil }

// UnmarshalJSON reads seconds.
func (t *Time) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	switch ms := math.Round(f * 1e3); {
	case err != nil:
		return fmt.Errorf("time %q: %w", b, err)
	case ms >= math.MaxInt64:
		*t = math.MaxInt64
	case ms <= math.MinInt64:
		*t = math.MinInt64
	default:
		*t = Time(ms)
	}
	return nil
}

// String is the time as RFC 3339 has it.
func (t Time) String() string {
	return time.UnixMilli(int64(t)).UTC().Format("2006-01-02T15:04:05.999Z")
}

// Seconds is a duration. JSON has it in seconds.
type Seconds time.Duration

// MarshalJSON writes seconds.
func (s Seconds) MarshalJSON() ([]byte, error) { return seconds(time.Duration(s).Seconds()), nil }

// UnmarshalJSON reads seconds.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.Abs(f) > math.MaxInt64/1e9 {
		return fmt.Errorf("duration %q: %w", b, err)
	}
	*s = Seconds(math.Round(f * 1e9))
	return nil
}

// String has three digits or so.
func (s Seconds) String() string {
	d := time.Duration(s)
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second / 10).String()
	case d >= time.Second:
		return d.Round(time.Second / 100).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond / 10).String()
	case d >= time.Millisecond:
		return d.Round(time.Millisecond / 100).String()
	}
	return d.Round(time.Microsecond).String()
}

func seconds(f float64) []byte { return strconv.AppendFloat(nil, f, 'f', -1, 64) }

// bytesText has three digits or so.
func bytesText(n int64) string {
	f, unit := float64(n), ""
	for _, unit = range []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if f < 1000 {
			break
		}
		f /= 1024
	}
	switch {
	case unit == "B":
		return fmt.Sprintf("%d B", n)
	case f < 10:
		return fmt.Sprintf("%.2f %s", f, unit)
	case f < 100:
		return fmt.Sprintf("%.1f %s", f, unit)
	}
	return fmt.Sprintf("%.0f %s", f, unit)
}
