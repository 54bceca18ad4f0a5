package schema

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"
)

// dice draws everything that looks random; the same seed gives the same draws.
type dice struct{ *rand.Rand }

func newDice(seed int64) dice { return dice{rand.New(rand.NewPCG(uint64(seed), 0x686f6c6466617374))} }

func (d dice) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return b
}

// id is 32 hexadecimal digits, the way keystone names things.
func (d dice) id() string { return hex.EncodeToString(d.bytes(16)) }

// uuid is a version 4 UUID, the way the other services name things.
func (d dice) uuid() string {
	b := d.bytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// mac is an address in the range that neutron draws from.
func (d dice) mac() string {
	b := d.bytes(3)
	return fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", b[0], b[1], b[2])
}

// chance is true in percent of 100 draws.
func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// after is a whole second within two years after t.
func (d dice) after(t time.Time) time.Time {
	return t.Add(time.Duration(d.IntN(2*365*24*3600)) * time.Second)
}

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }
