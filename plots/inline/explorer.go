package inline

import (
	"context"
	"fmt"
	"html"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots/explorer"
)

// Explorer takes pictures of the session apart and shows a page on which their parts can be looked at, with mouse and
// keyboard. The page is part of the notebook, and needs no kernel once it is there.
func Explorer(ctx context.Context, s *session.Session, config experiments.ExploreConfig) error {
	found, err := experiments.Explore(ctx, s, config)
	if err != nil {
		return err
	}
	view, pictures := s.View(), s.Pictures()
	if config.Over != nil {
		view.Data = config.Over
	}
	if config.Alone {
		pictures.Dataset = nil
	}
	page := explorer.Page{Models: []explorer.Model{{ExploredModel: found, View: view}}, Data: pictures, Notes: s.Assumptions()}
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
		text: fmt.Sprintf("explorer page of %d models, %.1f MB", len(page.Models), float64(len(content))/1e6),
	})
	return nil
}
