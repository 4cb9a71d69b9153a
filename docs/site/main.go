// Site makes a static site of the documentation: README.md, the pages of docs and the notebooks with their outputs. It works
// from the disk, without a network and without scripts; figures are in the pages.
//
//	make docs
//	go run ./docs/site --out site
//
// A link from one page to another leads to the other's page; links to other files of the project lead to these, beside the
// site.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	out := flag.String("out", "site", "directory for the pages, below the project's")
	root := flag.String("project", ".", "the project's directory")
	flag.Parse()
	pages, err := build(*root, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
	fmt.Printf("wrote %s and %d other pages\n", filepath.Join(*out, "index.html"), pages-1)
}

// source is a document that becomes a page.
type source struct {
	path  string // in the project, with slashes
	page  string // file name in the site
	title string
}

// sources lists the documents in the order of the site's menu: the README, the notebooks, the pages of docs.
func sources(root string) ([]source, error) {
	all := []source{{path: "README.md", page: "index.html"}}
	for _, pattern := range []string{"notebooks/*.ipynb", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
			rel, err := filepath.Rel(root, file)
			if err != nil {
				return nil, err
			}
			all = append(all, source{path: filepath.ToSlash(rel), page: name + ".html"})
		}
	}
	pages := make(map[string]string)
	for _, s := range all {
		if other, ok := pages[s.page]; ok {
			return nil, fmt.Errorf("%s and %s would both become %s", other, s.path, s.page)
		}
		pages[s.page] = s.path
	}
	return all, nil
}
