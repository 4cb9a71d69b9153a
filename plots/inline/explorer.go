package inline

import (
	"context"
	"fmt"
	"html"
	"slices"

	"vitdecompose/data/counted"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots/explorer"
)

// Explorer takes pictures apart and shows a page on which their parts can be looked at, with mouse and keyboard, in the model
// of each session, two at a time beside each other. The page is part of the notebook, and needs no kernel once it is there.
func Explorer(ctx context.Context, config experiments.ExploreConfig, sessions ...*session.Session) error {
	var page explorer.Page
	for _, s := range sessions {
		found, err := experiments.Explore(ctx, s, config)
		if err != nil {
			return err
		}
		view := s.View()
		if config.Over != nil {
			view.Data = config.Over
		}
		if !config.Alone {
			page.Data = s.Pictures()
		}
		page.Models = append(page.Models, explorer.Model{ExploredModel: found, View: view})
		for _, line := range s.Assumptions() {
			if !slices.Contains(page.Notes, line) {
				page.Notes = append(page.Notes, line)
			}
		}
	}
	return show(func(f *Frame) error { return f.Explorer(page) })
}

// explorerHeight is that of a page within a notebook, in CSS pixels.
const explorerHeight = 960

// Explorer adds an explorer page, in a frame of its own that may run its script and save files and nothing else.
func (f *Frame) Explorer(page explorer.Page) error {
	content, err := explorer.HTML(page)
	if err != nil {
		return err
	}
	f.parts = append(f.parts, part{
		html: fmt.Sprintf(`<iframe title="explorer" sandbox="allow-scripts allow-downloads" style="width:100%%;height:%dpx;border:0" srcdoc="%s"></iframe>`,
			explorerHeight, html.EscapeString(string(content))),
		text: fmt.Sprintf("explorer page of %s, %.1f MB", counted.Of(len(page.Models), "model"), float64(len(content))/1e6),
	})
	return nil
}
