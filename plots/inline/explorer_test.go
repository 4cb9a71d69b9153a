package inline

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
	"vitdecompose/plots/explorer"
)

// TestExplorer: the page goes whole into a frame that may run scripts and nothing else; outside a notebook a line stands for it.
func TestExplorer(t *testing.T) {
	s, err := session.With(t.Context(), session.Options{CacheDir: t.TempDir()}, session.Given{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 3}})
	require.NoError(t, err)
	defer s.Close()
	config := experiments.ExploreConfig{Alone: true, NoTexts: true}
	out := printed(t, func() { require.NoError(t, Explorer(t.Context(), config, s, s)) })
	require.Contains(t, out, "explorer page of 2 models")

	found, err := experiments.Explore(t.Context(), s, config)
	require.NoError(t, err)
	var f Frame
	require.NoError(t, f.Explorer(explorer.Page{Models: []explorer.Model{{ExploredModel: found, View: s.View()}}}))
	page := f.inPage()
	require.True(t, strings.HasPrefix(page, `<iframe title="explorer" sandbox="allow-scripts allow-downloads"`))
	require.Equal(t, 1, strings.Count(page, ">")-strings.Count(page, "></iframe>"), "nothing of the page ends its frame early")
	require.ErrorContains(t, f.Explorer(explorer.Page{}), "no model")
	config.Pictures = []int{3}
	require.ErrorContains(t, Explorer(t.Context(), config, s), "no picture 3")
}
