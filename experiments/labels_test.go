package experiments_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
)

func TestMatchLabels(t *testing.T) {
	ds := noise{n: 4, classes: []string{"b", "a"}, label: func(i int) int { return i/2 - 1 }} // -1: unknown
	got, err := experiments.MatchLabels(ds, "the model", []string{"a", "b"}, 2)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, got.Classes())
	require.Equal(t, -1, got.Item(0).Label)
	require.Equal(t, 1, got.Item(2).Label)
	_, err = experiments.MatchLabels(ds, "the model", []string{"c", "d"}, 2)
	require.ErrorContains(t, err, "give the labels in a CSV file")
}
