// Package notebook is the one import of a notebook's cells: it opens a model with pictures, asks it what the experiments ask,
// and shows the answers.
//
//	import "vitdecompose/notebook"
//
//	var model = notebook.Open(notebook.Options{Model: "deit-mini", Data: "scenes:1000"})
//
// and in each cell after that, below a line with %%,
//
//	model.Ablation().Show()
//
// It is for notebooks alone: an error is one line and ends the cell, which is a program. What a program uses are the packages
// below: [vitdecompose/experiments/session], [vitdecompose/experiments], [vitdecompose/plots] and [vitdecompose/plots/inline].
package notebook
