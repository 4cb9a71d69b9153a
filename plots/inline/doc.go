// Package inline shows figures and tables in the cell of a notebook, with controls that draw them again, and progress that
// updates in place:
//
//	ctx := inline.Context() // ends with the notebook's Interrupt
//	s := inline.Must(session.Open(ctx, session.Options{Progress: inline.Progress()}))
//	result := inline.Must(experiments.Heatmaps(ctx, s, experiments.HeatmapConfig{Pictures: []int{0, 1}}))
//	figure := inline.Must(plots.Heatmaps(result, s.View(), plots.HeatmapOptions{}))
//	inline.Show(figure)
//	inline.Check(inline.Export(figure, "heatmaps", inline.Page))
//
// A notebook here is one of the kernel GoNB. In any other program tables and texts are printed, and pictures are named by
// one line. Where no browser shows the notebook, because it is executed from a command line, controls are not drawn and
// have the value they begin with.
package inline
