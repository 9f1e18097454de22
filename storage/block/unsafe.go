package block

import "unsafe"

// view returns b as a string that shares its bytes. b must not change while the string is in use:
// label bytes never do.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
