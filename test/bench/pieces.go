package main

import (
	"fmt"
	"os"
	"strings"
)

// imagePieces takes the three states of one image into vaults whose pieces differ in size, from which the size was chosen.
func imagePieces(b *bench) error {
	if err := b.anImage("pieces"); err != nil {
		return err
	}
	defer b.drop("pieces")
	for n, kib := range []int{128, 256, 512, 1024, 4096} {
		if err := b.inPieces(kib, uint64(50+10*n)); err != nil {
			return err
		}
	}
	return nil
}

// inPieces measures one size of pieces.
func (b *bench) inPieces(kib int, seed uint64) error {
	v, err := b.newVault()
	if err != nil {
		return err
	}
	defer v.remove()
	if err := v.cutInto(kib); err != nil {
		return err
	}
	var told []string
	for n, change := range []func() error{
		func() error { return nil },
		func() error { return b.rewrite("pieces", 5, object, seed) },
		func() error { return b.rewrite("pieces", 524, 4096, seed+1) },
	} {
		if err := change(); err != nil {
			return err
		}
		if err := b.settle(); err != nil {
			return err
		}
		before := sizeOf(v.dir + "/vault")
		_, took, err := v.capture("pieces")
		if err != nil {
			return err
		}
		grown := sizeOf(v.dir+"/vault") - before
		told = append(told, fmt.Sprintf("%s %.1f s (%.1f s of processor) %s", []string{"first", "1 % in runs", "524 writes of 4 KiB"}[n], took, v.processor, mib(grown)))
	}
	b.add(figure{What: fmt.Sprintf("in pieces of %d KiB", kib), Bar: "-", Measured: "see right", Detail: strings.Join(told, ", ") + ", 1 run"})
	return nil
}

// cutInto makes the vault's configuration ask for pieces of that many KiB in the pool of volumes.
func (v *vault) cutInto(kib int) error {
	text, err := os.ReadFile(v.config)
	if err != nil {
		return err
	}
	asked := strings.Replace(string(text), "pools: [volumes,", fmt.Sprintf("pools: [{name: volumes, piece: %dKiB},", kib), 1)
	if asked == string(text) {
		return fmt.Errorf("%s names no pool volumes to cut otherwise", v.config)
	}
	return os.WriteFile(v.config, []byte(asked), 0o600)
}
