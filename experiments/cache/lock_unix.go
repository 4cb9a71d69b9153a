//go:build unix

package cache

import (
	"errors"
	"os"
	"syscall"
)

// markInUse notes that a store's directory is in use, until the file is closed. Where a file system has no locks, nothing is
// noted.
func markInUse(dir *os.File) { _ = lock(dir, syscall.LOCK_SH) }

// isUnused reports whether no process has the directory in use; if so, none can begin to before the file is closed. Where a
// file system has no locks, that is not known, and the directory counts as unused.
func isUnused(dir *os.File) bool {
	return !errors.Is(lock(dir, syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// exclusive tells whether certainly nobody else has the directory in use, and keeps it so until it is shared.
func exclusive(dir *os.File) bool { return lock(dir, syscall.LOCK_EX|syscall.LOCK_NB) == nil }

func lock(dir *os.File, how int) error {
	for {
		if err := syscall.Flock(int(dir.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
