package goexec

// CellIdAndLine is GoNB's: a line of a program, where it comes from.
type CellIdAndLine struct{ Id, Line int }
