//go:build !unix

package cache

import "os"

// share and unshared do nothing where there is no flock: there only the time of the last use says what is in use.
func share(*os.File) {}

func unshared(*os.File) bool { return true }
