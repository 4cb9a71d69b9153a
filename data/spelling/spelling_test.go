package spelling_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data/spelling"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"lambda", "lamda", 1}, {"kitten", "sitting", 3}, {"", "abc", 3}, {"batch", "batch", 0}} {
		require.Equal(t, c.want, spelling.Distance(c.a, c.b), "%s, %s", c.a, c.b)
		require.Equal(t, c.want, spelling.Distance(c.b, c.a))
	}
}

func TestNearest(t *testing.T) {
	names := []string{"ranking", "ablation", "alignment"}
	require.Equal(t, []string{"ablation", "ranking"}, spelling.Nearest("ablatoin", names, 2))
	require.Equal(t, []string{"ranking", "ablation", "alignment"}, names, "the caller's order stays")
	require.Len(t, spelling.Nearest("x", names, 9), 3)
}
