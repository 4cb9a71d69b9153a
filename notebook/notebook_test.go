package notebook

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/results"
)

func TestReadable(t *testing.T) {
	for cell, want := range map[string]string{
		"0.94321": "0.94", "0.9996": "1.0", "12.345": "12", "0.0004812": "0.00048", "0.0000321": "3.2e-05", "0.0000": "0", "-0.0512": "-0.051",
		"1000": "1000", "deit-mini": "deit-mini", "layer:04, attn_head:02": "L4 H2", "layer:(2,3), grid mlp": "S2.3 grid MLP", "init": "init",
		"": "", "NaN": "NaN", "a. b": "a. b",
	} {
		require.Equal(t, want, readableCell(cell), cell)
	}
	got := readable(results.Table{Header: []string{"component", "share_of_variance"}, Rows: [][]string{{"layer:04, mlp; layer:05, mlp", "0.1234"}}})
	require.Equal(t, results.Table{Header: []string{"component", "share of variance"}, Rows: [][]string{{"L4 MLP; L5 MLP", "0.12"}}}, got)
}

func TestRange(t *testing.T) {
	require.Equal(t, []int{3, 4, 5}, Range(3, 5))
	require.Empty(t, Range(5, 3))
}

// TestDrawn: what goes wrong in a drawing ends the drawing, not the program.
func TestDrawn(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, 1)
	require.NoError(t, drawn(ctx, func() { require.Equal(t, ctx, running()) }))
	require.Nil(t, drawing)
	wrong := errors.New("option Model: there is none")
	require.ErrorIs(t, drawn(ctx, func() {
		must(1, wrong)
		t.Error("a drawing goes on after an error")
	}), wrong)
	require.Nil(t, drawing)
	require.PanicsWithValue(t, "a mistake", func() { drawn(ctx, func() { panic("a mistake") }) })
	require.Nil(t, drawing)
}

func TestWithoutAModel(t *testing.T) {
	model := Open(Options{Data: "scenes:4"})
	require.ErrorContains(t, drawn(t.Context(), func() { model.With().Show() }), "there is no model: name one, such as deit-mini")
	require.ErrorContains(t, drawn(t.Context(), func() { model.With("deit-maxi").Show() }), "option Model: ")
	require.ErrorContains(t, drawn(t.Context(), func() { Open(Options{Data: "nowhere:4"}).Show() }), "option Data: ")
}

// TestNote: an assumption is said once in a notebook, by the first cell that makes it.
func TestNote(t *testing.T) {
	t.Setenv("GONB_TMP_DIR", t.TempDir())
	said := func(lines ...string) string {
		reader, writer, err := os.Pipe()
		require.NoError(t, err)
		stdout := os.Stdout
		os.Stdout = writer
		defer func() { os.Stdout = stdout }()
		for _, line := range lines {
			note(line)
		}
		require.NoError(t, writer.Close())
		out, err := io.ReadAll(reader)
		require.NoError(t, err)
		return string(out)
	}
	require.Equal(t, "assumed: a\nassumed: a b\n", said("a", "a b", "a"))
	require.Equal(t, "assumed: b\n", said("a", "b"))
	require.Equal(t, "assumed: option Features is scenes\nassumed: --other x\n", said("option Features is scenes", "--other x"), "sessions name fields")
	t.Setenv("GONB_TMP_DIR", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, "assumed: a\nassumed: a\n", said("a", "a"))
}
