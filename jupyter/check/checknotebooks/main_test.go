package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	var stdout strings.Builder
	err := run([]string{"../testdata/passes.ipynb", "../testdata/exits.ipynb", "none.ipynb"}, &stdout)
	require.EqualError(t, err, "../testdata/exits.ipynb: cell [2]: exit status 3, after it said: no such picture\n"+
		"none.ipynb: was not executed, or its copy cannot be read")
	require.Equal(t, "../testdata/passes.ipynb ran to its end\n", stdout.String())
	require.ErrorContains(t, run(nil, &stdout), "name the executed notebooks")
}
