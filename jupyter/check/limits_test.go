package check

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCellsAreShort: cells of the project's notebooks read like sentences.
func TestCellsAreShort(t *testing.T) {
	for name, content := range contents(t, "../../notebooks/*.ipynb") {
		n, err := read(strings.NewReader(content))
		require.NoError(t, err)
		first := true
		for _, c := range n.Cells {
			if c.Type != "code" {
				continue
			}
			source := string(c.Source)
			limit := 0
			switch {
			case first:
				limit = 4
				require.True(t, strings.HasPrefix(source, "import \"vitdecompose/notebook\"\n"), "%s: its first cell has the one import", name)
			case strings.Contains(source, "notebook.Explore("):
				limit = 7
			case strings.Contains(source, ".Export("):
				limit = 4
			case slices.Contains(c.Metadata.Shows, Picture):
				limit = 3
			}
			lines := strings.Count(strings.TrimSpace(source), "\n") + 1
			if limit > 0 {
				require.LessOrEqual(t, lines, limit, "%s:\n%s", name, source)
			}
			require.NotEmpty(t, c.Metadata.Shows, "%s: what must this cell show?\n%s", name, source)
			for _, forbidden := range []string{"inline.", "err != nil", "context.", "OK"} {
				require.NotContains(t, source, forbidden, name)
			}
			if !first {
				require.NotContains(t, source, "import", name)
			}
			first = false
		}
		require.False(t, first, "%s has no code", name)
	}
}
