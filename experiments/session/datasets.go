package session

// The kinds of data sets beside folder: each package registers its own. Parquet data sets are in datasets_hf.go.
import (
	_ "vitdecompose/data/imagenet"
	_ "vitdecompose/data/imagenetseg"
	_ "vitdecompose/data/pixelmask"
	_ "vitdecompose/data/scenes"
	_ "vitdecompose/data/voc"
	_ "vitdecompose/data/waterbirds"
)
