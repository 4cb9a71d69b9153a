package backend

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The verdict says the same as the lines above it.
func TestVerdict(t *testing.T) {
	kernel := Extra{Name: "notebooks' kernel", State: "not built", Advice: "run `make kernel`"}
	for _, c := range []struct {
		report        Report
		verdict       string
		todo, forSome int // lines
	}{
		{Report{}, "ready: nothing is missing", 0, 0},
		{Report{Extras: []Extra{{Name: "notebooks' kernel", State: "there"}}}, "ready: nothing is missing", 0, 0},
		{Report{Extras: []Extra{kernel}}, "ready, but for the notebooks' kernel: see `to do`", 0, 1},
		{Report{Advice: []string{FallbackLine}}, "ready; `to do` says what would be better", 1, 0},
		{Report{Advice: []string{FallbackLine}, Extras: []Extra{kernel}}, "ready, but for the notebooks' kernel; `to do` says what would be better", 1, 1},
		{Report{Problem: errors.New("no"), Advice: []string{"set it up"}}, "not ready: the backend does not open; see `to do`", 1, 0},
	} {
		var out strings.Builder
		require.NoError(t, c.report.Print(&out))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Regexp(t, `^verdict +`, lines[len(lines)-1])
		require.Equal(t, c.verdict, strings.TrimSpace(strings.TrimPrefix(lines[len(lines)-1], "verdict")))
		require.Equal(t, c.todo, strings.Count(out.String(), "\nto do  "), out.String())
		require.Equal(t, c.forSome, strings.Count(out.String(), "\nto do for the "), out.String())
	}
}
