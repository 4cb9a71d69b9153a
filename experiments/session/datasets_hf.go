//go:build !cell

package session

import _ "vitdecompose/data/hf" // registers itself
