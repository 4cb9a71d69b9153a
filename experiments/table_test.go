package experiments_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
)

// allRows are the table, and the experiments that it does not list.
func allRows() []experiments.Experiment {
	return append(experiments.All(), experiments.Describing(), experiments.Sweeping(), experiments.Aligning())
}

// TestTable holds the table of experiments against what its readers rely on.
func TestTable(t *testing.T) {
	var names, groups []string
	for _, o := range option.Of(&session.Options{}) {
		if !slices.Contains(groups, o.Group) {
			groups = append(groups, o.Group)
		}
	}
	flagName := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, e := range allRows() {
		t.Run(e.Name, func(t *testing.T) {
			require.Regexp(t, flagName, e.Name)
			require.NotContains(t, names, e.Name)
			names = append(names, e.Name)
			require.NotEmpty(t, e.About)
			require.NotEmpty(t, e.Title)
			require.Equal(t, e.Number == "", e.Claim == "", "what the paper has, it claims something of")
			require.NotEmpty(t, e.Options)
			require.Subset(t, groups, e.Options)
			require.ElementsMatch(t, e.Options, slices.Compact(slices.Sorted(slices.Values(e.Options))), "each group once")

			config := e.NewConfig()
			require.Equal(t, reflect.Pointer, reflect.TypeOf(config).Kind())
			require.Zero(t, reflect.ValueOf(e.NewConfig()).Elem().Interface(), "everything is left open")
			var flags []string
			for _, o := range append(option.Of(&session.Options{}, append(e.Options, "model")...), option.Of(config)...) {
				require.NotContains(t, flags, o.Flag, "two options of one flag")
				flags = append(flags, o.Flag)
			}
			checkOptions(t, config)
		})
	}
	checkOptions(t, &session.Options{})
}

// checkOptions reads every default that the tags of some options have.
func checkOptions(t *testing.T, options any) {
	t.Helper()
	flagName := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, o := range option.Of(options) {
		require.Regexp(t, flagName, o.Flag)
		require.NotEmpty(t, o.Help, o.Field)
		require.NotEmpty(t, o.Kind(), o.Field)
		require.False(t, o.Default() != "" && o.Usual != "", "%s has a default and does not have one", o.Field)
		if o.Default() != "" {
			require.NoError(t, o.Set(o.Default()), o.Field)
			require.Equal(t, o.Default(), o.String(), o.Field)
		}
	}
	require.NoError(t, option.SetDefaults(options))
	require.NoError(t, option.Check(options))
}

func TestFind(t *testing.T) {
	for _, e := range experiments.All() {
		found, err := experiments.Find(e.Name)
		require.NoError(t, err)
		require.Equal(t, e.Title, found.Title)
	}
	_, err := experiments.Find("frob")
	require.ErrorContains(t, err, `unknown experiment "frob" (known: ablation, text-retrieval, `)
}

// TestRun runs a row of the table with one model and with two.
func TestRun(t *testing.T) {
	ablation, err := experiments.Find("ablation")
	require.NoError(t, err)
	e := extraction.Extraction{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 6}, Batch: 4, CacheDir: t.TempDir()}
	var said []string
	s := sessionOf(t, e)
	outcome, err := ablation.Run(t.Context(), []*session.Session{s}, ablation.NewConfig(), func(line string) { said = append(said, line) })
	require.NoError(t, err)
	curve, err := experiments.Ablation(t.Context(), s, experiments.AblationConfig{})
	require.NoError(t, err)
	curves := outcome.Result.(experiments.AblationResult).Curves
	require.Equal(t, []experiments.AblationCurve{curve}, curves)
	require.Equal(t, experiments.AblationConfig{}, outcome.Config)
	require.Equal(t, map[string]string{"tiny": "tiny"}, outcome.Checkpoints)
	require.Equal(t, map[string]string{"pictures given": "noise of 6"}, outcome.Data)
	require.Nil(t, outcome.Align)
	require.Len(t, said, 1)
	require.Regexp(t, "^tiny: 6 pictures, accuracy ", said[0])

	two, err := ablation.Run(t.Context(), []*session.Session{s, s}, ablation.NewConfig(), nil)
	require.NoError(t, err)
	require.Equal(t, []experiments.AblationCurve{curve, curve}, two.Result.(experiments.AblationResult).Curves)

	_, err = ablation.Run(t.Context(), []*session.Session{s}, &experiments.CausalConfig{}, nil)
	require.ErrorContains(t, err, "ablation is configured by a *experiments.AblationConfig, not by a *experiments.CausalConfig")
	e.Model = tiny.Model(t, func(args map[string]any) { args["num_classes"] = 0.0 })
	e.Data = tiny.Noise{N: 6, Drawn: func(int) { t.Error("a picture was looked at for a model that cannot be tested") }}
	e.CacheDir = t.TempDir()
	_, err = ablation.Run(t.Context(), []*session.Session{s, sessionOf(t, e)}, ablation.NewConfig(), nil)
	require.ErrorContains(t, err, "tiny has no classifier head", "a mistake in the last model costs no time")
}

// TestRunFillsIn: what was left open is in the outcome's configuration, and the same configuration gives the same again.
func TestRunFillsIn(t *testing.T) {
	retrieval, err := experiments.Find("text-retrieval")
	require.NoError(t, err)
	s := smallSession(t, "clip-mini", sharedCache(t))
	given := retrieval.NewConfig()
	outcome, err := retrieval.Run(t.Context(), []*session.Session{s}, given, nil)
	require.NoError(t, err)
	require.Equal(t, &experiments.TextRetrievalConfig{}, given, "what was given stays as it was")
	filled := outcome.Config.(experiments.TextRetrievalConfig)
	require.Equal(t, [3]int{3, 4, 9}, [3]int{filled.Group, filled.Groups, filled.Top})
	require.Len(t, filled.Features, 5)
	require.NotEmpty(t, outcome.Assumptions, "the list of features is assumed")
	require.Empty(t, s.Assumptions(), "the next experiment assumes for itself")
	require.Contains(t, outcome.Data, "scenes:150")
	again, err := retrieval.Run(t.Context(), []*session.Session{s}, &filled, nil)
	require.NoError(t, err)
	require.Equal(t, outcome.Result, again.Result)
	require.Empty(t, again.Assumptions)
	text, err := json.Marshal(filled)
	require.NoError(t, err)
	require.Contains(t, string(text), `"group":3`)
}

// TestLacks: what pictures lack for an experiment is said before it is run.
func TestLacks(t *testing.T) {
	noise := sessionOf(t, extraction.Extraction{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 2}, CacheDir: t.TempDir()})
	drawn := smallSession(t, "clip-mini", sharedCache(t))
	lacking := map[string]string{
		"segmentation": "it is not known where the objects are in the pictures of pictures given, which segmentation is measured against; " +
			"`vitdecompose heatmap --class` draws maps of a class without masks",
		"causal":     "nothing is known of the pictures of pictures given beside their classes",
		"waterbirds": "it takes pictures of birds, named as option Correlated and option Uncorrelated",
	}
	for _, e := range allRows() {
		require.Equal(t, lacking[e.Name], e.Lacks(noise, e.NewConfig()), e.Name)
		require.Empty(t, e.Lacks(drawn, e.NewConfig()), e.Name)
	}
	birds, err := experiments.Find("waterbirds")
	require.NoError(t, err)
	require.Empty(t, birds.Lacks(noise, &experiments.WaterbirdsConfig{Uncorrelated: "waterbirds:DIR:test"}))
}
