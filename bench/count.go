package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
)

var errRequest = errors.New("request can't be decoded")

// countByInstance adds the samples of an encoded request to want. It reads only what the encoder
// writes.
func countByInstance(want map[string]int64, body []byte) error {
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	return fields(raw, func(ts []byte) error {
		instance, n := "", int64(0)
		err := fields(ts, func(field []byte) error {
			if field[0] != 1<<3|2 { // A sample begins with its value, a label with its name.
				n++
				return nil
			}
			var parts []string
			err := fields(field, func(s []byte) error { parts = append(parts, string(s)); return nil })
			if len(parts) == 2 && parts[0] == "instance" {
				instance = parts[1]
			}
			return err
		})
		want[instance] += n
		return err
	})
}

// fields calls fn for each length-delimited field.
func fields(b []byte, fn func([]byte) error) error {
	for len(b) > 0 {
		n, k := binary.Uvarint(b[1:])
		if k <= 0 || uint64(len(b)-1-k) < n {
			return errRequest
		}
		if err := fn(b[1+k : 1+k+int(n)]); err != nil {
			return err
		}
		b = b[1+k+int(n):]
	}
	return nil
}
