package hub

import (
	"net/http/httptest"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	pause, patience = time.Millisecond, 300*time.Millisecond
	m.Run()
}

// TrustForTest makes the client believe a server's certificate while a test runs.
func TrustForTest(t *testing.T, server *httptest.Server) {
	transport := client.Transport
	client.Transport = server.Client().Transport
	t.Cleanup(func() { client.Transport = transport })
}
