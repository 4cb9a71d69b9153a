package hub

import (
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	pause = time.Millisecond
	m.Run()
}
