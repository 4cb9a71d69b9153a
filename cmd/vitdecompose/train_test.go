package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrainUsage(t *testing.T) {
	for line, want := range map[string]string{
		"train":                       "accepts 1 arg",
		"train deit-huge":             `no recipe for a model "deit-huge" (known: deit-mini`,
		"train deit-mini --steps -1":  "must not be negative",
		"train deit-mini --sees mask": "not a part of scenes",
		"train deit-mini --steps two": "invalid argument",
	} {
		t.Run(line, func(t *testing.T) {
			emptyMachine(t)
			code, _, stderr := runLine(t, line)
			require.Equal(t, exitUsage, code)
			require.Contains(t, stderr, want)
		})
	}
}
