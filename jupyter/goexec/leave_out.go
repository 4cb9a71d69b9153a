package goexec

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
)

// LeaveOutOf is [LeaveOut] of a file, which has the declarations of all cells. cells are the cells that its lines come from; own is the one that runs.
// A file that cannot be read stays as it is: the compiler says more.
func LeaveOutOf(path string, cells []CellIdAndLine, own int) {
	source, err := os.ReadFile(path)
	if err != nil {
		return
	}
	shorter := LeaveOut(source, func(line int) bool { return line-1 < len(cells) && cells[line-1].Id == own })
	if err := os.WriteFile(path, shorter, 0o600); err != nil {
		return
	}
}

// LeaveOut blanks what a program does not use: declarations of other cells that neither main nor this cell's own declarations
// need, and imports of none. Lines stay where they are. own reports whether a line, from 1, is of this cell.
//
// A cell that prints a number would otherwise link all that any cell before it uses.
func LeaveOut(source []byte, own func(line int) bool) []byte {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		return source
	}
	line := func(n ast.Node) int { return files.Position(n.Pos()).Line }

	// The declarations, with the names that they declare and the names that stand in them. Names are not resolved: one that
	// is used anywhere keeps what it may mean.
	type declaration struct {
		node   ast.Node
		names  []string
		inside map[string]bool
		keep   bool
	}
	var all []*declaration
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil { // a method goes with its type
				ast.Inspect(d.Recv, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok {
						name = id.Name
					}
					return true
				})
			}
			all = append(all, &declaration{d, []string{name}, identifiers(d), d.Recv == nil && (name == "main" || name == "init") || own(line(d))})
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			if d.Tok == token.CONST { // iota counts the specs of a block
				one := &declaration{node: d, inside: identifiers(d)}
				for _, spec := range d.Specs {
					one.keep = one.keep || own(line(spec))
					for _, name := range spec.(*ast.ValueSpec).Names {
						one.names = append(one.names, name.Name)
					}
				}
				all = append(all, one)
				continue
			}
			for _, spec := range d.Specs {
				one := &declaration{node: spec, inside: identifiers(spec), keep: own(line(spec))}
				switch s := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range s.Names {
						one.names = append(one.names, name.Name)
						one.keep = one.keep || name.Name == "_"
					}
				case *ast.TypeSpec:
					one.names = []string{s.Name.Name}
				}
				all = append(all, one)
			}
		}
	}
	used := make(map[string]bool)
	for again := true; again; {
		again = false
		for _, d := range all {
			if !d.keep && slices.ContainsFunc(d.names, func(name string) bool { return used[name] }) {
				d.keep = true
			}
			if !d.keep || d.inside == nil {
				continue
			}
			for name := range d.inside {
				used[name] = true
			}
			d.inside, again = nil, true
		}
	}

	out := slices.Clone(source)
	blank := func(n ast.Node) {
		for i := files.Position(n.Pos()).Offset; i < files.Position(n.End()).Offset; i++ {
			if out[i] != '\n' {
				out[i] = ' '
			}
		}
	}
	for _, d := range all {
		if d.keep {
			continue
		}
		node := d.node
		if spec, ok := node.(ast.Spec); ok {
			for _, decl := range file.Decls { // `var x = 1` without parentheses goes as a whole
				if g, ok := decl.(*ast.GenDecl); ok && !g.Lparen.IsValid() && len(g.Specs) == 1 && g.Specs[0] == spec {
					node = g
				}
			}
		}
		blank(node)
	}
	for _, spec := range file.Imports {
		name := importName(spec)
		if name != "" && !used[name] && !own(line(spec)) {
			blankImport(file, spec, blank)
		}
	}
	return out
}

// blankImport blanks an import, with the keyword where that stands with it alone.
func blankImport(file *ast.File, spec *ast.ImportSpec, blank func(ast.Node)) {
	for _, decl := range file.Decls {
		if g, ok := decl.(*ast.GenDecl); ok && !g.Lparen.IsValid() && len(g.Specs) == 1 && g.Specs[0] == ast.Spec(spec) {
			blank(g)
			return
		}
	}
	blank(spec)
}

// importName is the name that an import is used by, "" where that cannot be told: the import stays.
func importName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		if spec.Name.Name == "_" || spec.Name.Name == "." {
			return ""
		}
		return spec.Name.Name
	}
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return ""
	}
	// Packages of the standard library and of this project are called as their paths end.
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") || strings.HasSuffix(path, "/v2") {
		return ""
	}
	return path[strings.LastIndexByte(path, '/')+1:]
}

// identifiers are the names that stand in a node, those after a dot too.
func identifiers(n ast.Node) map[string]bool {
	all := make(map[string]bool)
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			all[id.Name] = true
		}
		return true
	})
	return all
}
