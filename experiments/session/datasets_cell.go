//go:build cell

package session

import (
	"context"
	"errors"

	"vitdecompose/data"
)

// The cells of a notebook are linked each time, and are not made to wait for the Parquet library, a seventh of all that they
// would link. A cell that reads such data sets imports their package, which registers the kind before this.
func init() {
	if data.HasKind("hf") {
		return
	}
	data.Register(data.Kind{
		Name: "hf", Argument: "PATH or OWNER/REPO[/FOLDER][:SPLIT]", OwnLabels: true, Help: "parquet files of pictures, on disk or from the Hugging Face Hub",
		Open: func(context.Context, string, data.Options) (data.Dataset, error) {
			return nil, errors.New(`parquet data sets need one more line in the first cell: import _ "vitdecompose/data/hf"`)
		},
	})
}
