// Package explorer writes what experiments.Explore found as a page to look at with mouse and keyboard: one HTML file, which
// loads nothing, and works from the disk, in a notebook and on the web.
//
//	found, err := experiments.Explore(ctx, s, experiments.ExploreConfig{})
//	err = explorer.Write("page.html", explorer.Page{Models: []explorer.Model{{ExploredModel: found, View: s.View()}}})
//
// [Serve] shows the pictures of a data set on this machine, each page made when it is asked for.
package explorer
