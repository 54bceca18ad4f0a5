package host_test

import (
	"testing"
)

func TestLocal(t *testing.T) { conform(t, local) }
