package page

import (
	_ "embed"
	"html/template"
)

//go:embed page.html
var layoutText string

// layout fills in the page; html/template escapes what it is given for the place where it stands.
var layout = template.Must(template.New("page").Parse(layoutText))
