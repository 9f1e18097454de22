package trust

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseKeys(t *testing.T) {
	key := func(n int, fill byte) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(fill), n)))
	}
	keys, err := parseKeys([]byte("# of the cluster\n\n " + key(32, 'a') + " \r\n" + key(16, 'b')))
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 16))}, keys)
	for text, words := range map[string]string{
		"":                                     "no key is in it",
		"#\n":                                  "no key is in it",
		"\nsecret!":                            "line 2 is not base64",
		key(31, 'a'):                           "the key on line 1 has 31 bytes, and not 16, 24 or 32",
		key(16, 'a') + "\n" + key(16, 'a'):     "the key on line 2 is there before",
		strings.Join(many(key, 9), "\n"):       "more than 8 keys",
		key(16, 'a') + " " + key(16, 'b') + "": "line 1 is not base64",
	} {
		_, err := parseKeys([]byte(text))
		require.EqualError(t, err, words)
	}
}

func many(key func(int, byte) string, n int) (list []string) {
	for i := range n {
		list = append(list, key(16, 'a'+byte(i)))
	}
	return list
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("# x\nAAAAAAAAAAAAAAAAAAAAAA==\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err != nil {
			return
		}
		require.NotEmpty(t, keys)
		require.LessOrEqual(t, len(keys), maxKeys)
		var again []string
		for _, k := range keys {
			again = append(again, base64.StdEncoding.EncodeToString(k))
		}
		same, err := parseKeys([]byte(strings.Join(again, "\n")))
		require.NoError(t, err)
		require.Equal(t, keys, same)
	})
}
