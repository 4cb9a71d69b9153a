package goexec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAdvise(t *testing.T) {
	for message, want := range map[string]string{
		"main.go:3:1: expected declaration, found model":                                                                                 "a line that has %% alone",
		"main.go:3:1: syntax error: non-declaration statement outside function body":                                                     "a line that has %% alone",
		"./main.go:5:2: undefined: model":                                                                                                "does not know model: run the first cell",
		"./main.go:5:11: undefined: notebook.Opne":                                                                                       "There is no notebook.Opne. Tab",
		"./main.go:9:8: model.Ablate undefined (type *notebook.Models has no field or method Ablate)":                                    "There is no model.Ablate. Tab",
		"./main.go:9:8: model.ablation undefined (type *notebook.Models has no field or method ablation, but does have method Ablation)": "There is no model.ablation, but Ablation. Tab",
		"./main.go:7:3: unknown field Modle in struct literal of type session.Options, but does have Model":                              "session.Options has no field Modle, but Model.",
		"./main.go:7:3: unknown field Modle in struct literal of type session.Options":                                                   "session.Options has no field Modle.",
		"./main.go:6:2: declared and not used: x":                                                                                        "use x, or leave it out",
		"main.go:4:2: package vitdecompose/notbook is not in std (/usr/lib/go/src)":                                                      "no package vitdecompose/notbook here",
	} {
		got := Advise(message)
		first, rest, _ := strings.Cut(got, "\n")
		require.Contains(t, first, want)
		require.Equal(t, message, rest)
	}
	require.Equal(t, "main.go:3:1: missing return", Advise("main.go:3:1: missing return"))
}

const program = `package main

import (
	"flag"
	"fmt"
	"strings"
	"vitdecompose/notebook"
	other "os"
	_ "embed"
	"example.com/x/y"
)

var (
	model = notebook.Open()
	half  = 2
)

const a = 1
const (
	b = iota
	c
)

type kind struct{}

func (k kind) Name() string { return strings.ToUpper("x") }

func use() int { return half }

func main() {
	flag.Parse()
	fmt.Println(use(), c)
}
`

func TestLeaveOut(t *testing.T) {
	none := func(int) bool { return false }
	got := string(LeaveOut([]byte(program), none))
	require.Equal(t, strings.Count(program, "\n"), strings.Count(got, "\n"))
	for _, gone := range []string{"model", "vitdecompose/notebook", "strings", "const a", "kind", `other "os"`} {
		require.NotContains(t, got, gone)
	}
	for _, stays := range []string{`"flag"`, `"fmt"`, `_ "embed"`, `"example.com/x/y"`, "half  = 2", "b = iota", "func use()", "func main()"} {
		require.Contains(t, got, stays)
	}
	// What the cell itself declares stays, for the compiler to judge, with all that it needs.
	got = string(LeaveOut([]byte(program), func(line int) bool { return line == 14 }))
	require.Contains(t, got, "model = notebook.Open()")
	require.Contains(t, got, `"vitdecompose/notebook"`)
	got = string(LeaveOut([]byte(strings.Replace(program, "use(), c", "kind{}.Name()", 1)), none))
	require.Contains(t, got, "func (k kind) Name()")
	require.Contains(t, got, `"strings"`)
	require.Equal(t, "package main\nfunc {", string(LeaveOut([]byte("package main\nfunc {"), none)))
}

func TestLeaveOutOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(path, []byte("package main\nvar x = 1\nvar y = 2\nfunc main() {}\n"), 0o600))
	LeaveOutOf(path, []CellIdAndLine{{-1, -1}, {3, 0}, {4, 0}, {4, 2}}, 4)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "package main\n         \nvar y = 2\nfunc main() {}\n", string(got))
	LeaveOutOf(filepath.Join(t.TempDir(), "none"), nil, 4)
}
