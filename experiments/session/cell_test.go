//go:build cell

package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
)

// TestParquetInACell: a cell says what to do for Parquet data sets, which it does not link.
func TestParquetInACell(t *testing.T) {
	_, err := data.Open("hf:owner/repo", data.Options{})
	require.ErrorContains(t, err, `one more line in the first cell: import _ "vitdecompose/data/hf"`)
}
