package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit/mark"
)

// Whatever --blocks says, it is a range of the model's blocks or an error.
func FuzzParseBlocks(f *testing.F) {
	for _, text := range []string{"0..2", "1", "1..", "(0,1)..(2,2)", "x", "9..2", "0..99999999999", "-1..", "..", "(2,0).."} {
		f.Add(text)
	}
	models := [][]mark.Block{{mark.Plain(0), mark.Plain(1), mark.Plain(2)}, mark.Staged([]int{2, 1, 3})}
	f.Fuzz(func(t *testing.T, text string) {
		for _, blocks := range models {
			first, last, err := session.ParseBlocks(text, blocks)
			if err == nil {
				require.LessOrEqual(t, 0, first, text)
				require.LessOrEqual(t, first, last, text)
				require.Less(t, last, len(blocks), text)
			}
		}
	})
}
