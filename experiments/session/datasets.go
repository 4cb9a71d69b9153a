package session

// The kinds of data sets beside folder: each package registers its own.
import (
	_ "vitdecompose/data/hf"
	_ "vitdecompose/data/imagenet"
	_ "vitdecompose/data/imagenetseg"
	_ "vitdecompose/data/pixelmask"
	_ "vitdecompose/data/scenes"
	_ "vitdecompose/data/voc"
	_ "vitdecompose/data/waterbirds"
)
