package option_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/option"
)

type order string

type options struct {
	Batch   int       `flag:"batch" group:"pictures" default:"8" min:"1" help:"pictures at a time"`
	Lambda  *float64  `flag:"lambda" group:"alignment" default:"1" min:"0"`
	Keep    order     `flag:"keep" group:"pictures" default:"float32" oneof:"float32|float16"`
	Orient  bool      `flag:"orient" group:"pictures"`
	Probes  []int     `flag:"probes" group:"own" default:"0,1" min:"0"`
	Seed    uint64    `flag:"seed" group:"own"`
	Texts   []string  `flag:"text" group:"own"`
	MaxBad  int       `flag:"max-bad" group:"pictures" min:"0" max:"100"`
	Cache   string    `flag:"cache" group:"pictures" record:"no"`
	Lambdas []float64 `flag:"sweep" group:"own" min:"0"`
	Own     func()
}

func TestDefaults(t *testing.T) {
	o := options{Lambda: new(0.0)}
	require.NoError(t, option.SetDefaults(&o))
	require.Equal(t, options{Batch: 8, Lambda: new(0.0), Keep: "float32", Probes: []int{0, 1}}, o, "a weight of 0 is a choice")
}

func TestCheck(t *testing.T) {
	require.NoError(t, option.Check(&options{}), "what is left open is fine")
	require.NoError(t, option.Check(&options{Lambda: new(0.0), Keep: "float16", MaxBad: 100}))
	for want, o := range map[string]options{
		"option Batch: -1 is not at least 1":                 {Batch: -1},
		"option Lambda: NaN is not a finite number":          {Lambda: new(math.NaN())},
		"option Lambda: -0.5 is not at least 0":              {Lambda: new(-0.5)},
		`option Keep: "int8" is not one of float32, float16`: {Keep: "int8"},
		"option Probes: -3 is not at least 0":                {Probes: []int{1, -3}},
		"option MaxBad: 101 is not at most 100":              {MaxBad: 101},
		"option Lambdas: +Inf is not a finite number":        {Lambdas: []float64{math.Inf(1)}},
	} {
		require.EqualError(t, option.Check(&o), want)
	}
}

func TestSet(t *testing.T) {
	var o options
	by := make(map[string]option.Option)
	for _, one := range option.Of(&o) {
		by[one.Flag] = one
	}
	require.Len(t, by, 10)
	for flag, text := range map[string]string{"batch": "4", "lambda": "0", "keep": "float16", "orient": "true", "probes": "3,4", "seed": "7",
		"text": "a cat,a dog", "sweep": "0,0.1"} {
		require.NoError(t, by[flag].Set(text))
		require.Equal(t, text, by[flag].String())
	}
	require.Equal(t, options{Batch: 4, Lambda: new(0.0), Keep: "float16", Orient: true, Probes: []int{3, 4}, Seed: 7,
		Texts: []string{"a cat", "a dog"}, Lambdas: []float64{0, 0.1}}, o)
	for flag, wrong := range map[string][2]string{
		"batch":  {"0", "option Batch: 0 is not at least 1"},
		"lambda": {"much", `option Lambda: "much" is not a number`},
		"seed":   {"-1", `option Seed: "-1" is not a whole number of 0 or more`},
		"probes": {"1,x", `option Probes: "x" is not a whole number`},
		"keep":   {"", "option Keep: it is empty"},
		"orient": {"so", `option Orient: "so" is not true or false`},
	} {
		err := by[flag].Set(wrong[0])
		require.EqualError(t, err, wrong[1])
		var named *option.Error
		require.True(t, errors.As(err, &named))
	}
	require.Equal(t, 4, o.Batch, "a wrong value changes nothing")
}

func TestSettings(t *testing.T) {
	o := options{Batch: 8, Lambda: new(0.0), Keep: "float32", MaxBad: 2, Cache: "/tmp"}
	text, err := json.Marshal(option.SettingsOf(&o, "pictures", "alignment"))
	require.NoError(t, err)
	require.Equal(t, `{"batch":8,"lambda":0,"keep":"float32","max_bad":2}`, string(text))
}

func ExampleAsFlags() {
	err := fmt.Errorf("3 pictures cannot be read: %w", &option.Error{Field: "MaxBad", Err: errors.New("2 is too few")})
	fmt.Println(err)
	fmt.Println(option.AsFlags(err.Error(), &options{}))
	// Output:
	// 3 pictures cannot be read: option MaxBad: 2 is too few
	// 3 pictures cannot be read: --max-bad: 2 is too few
}
