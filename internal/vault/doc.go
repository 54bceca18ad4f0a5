// Package vault keeps recovery points in a kopia repository: deduplicated, compressed, encrypted, and readable with the
// stock kopia command.
//
// A vault is one repository in one place. A session writes what one source captured for one point: trees of files,
// cut into pieces, each piece one content of the repository. Sealing a session proves that what was written is in the
// store and then saves one snapshot at /SOURCE; sealing the point saves one more at /point that names them. What is
// not sealed does not exist: a killed run leaves nothing that looks like a point.
package vault
