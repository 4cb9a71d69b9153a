//go:build !unix

package cache

import "os"

// markInUse and isUnused do nothing where there is no flock: there only the time of the last use says what is in use.
func markInUse(*os.File) {}

func isUnused(*os.File) bool { return true }

func exclusive(*os.File) bool { return false }
