package main

// The kinds of data sets that --data knows beside folder: each package registers its own.
import (
	_ "vitdecompose/data/hf"
	_ "vitdecompose/data/imagenet"
	_ "vitdecompose/data/imagenetseg"
	_ "vitdecompose/data/pixelmask"
	_ "vitdecompose/data/scenes"
	_ "vitdecompose/data/voc"
	_ "vitdecompose/data/waterbirds"
)
