-- What real servers hold and careless tools break: names, types, engines and stored code.
CREATE DATABASE oddities CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE oddities;

CREATE TABLE everything (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tiny TINYINT NULL,
  medium MEDIUMINT UNSIGNED ZEROFILL NULL,
  big BIGINT NOT NULL DEFAULT -9223372036854775808,
  exact DECIMAL(65,30) NULL,
  inexact DOUBLE NULL,
  flags BIT(17) NULL,
  fixed CHAR(5) NOT NULL DEFAULT '',
  latin VARCHAR(50) CHARACTER SET latin1 NULL,
  old VARCHAR(50) CHARACTER SET utf8mb3 NULL,
  words VARCHAR(200) NULL,
  page LONGTEXT NULL,
  raw VARBINARY(300) NULL,
  lump LONGBLOB NULL,
  doc JSON NULL,
  choice ENUM('', 'yes', 'n''o', 'ma\\ybe', 'vielleicht ½') NOT NULL DEFAULT '',
  several SET('a', 'b', 'c') NULL,
  day DATE NULL,
  moment DATETIME(6) NULL,
  stamped TIMESTAMP(3) NOT NULL DEFAULT '2024-03-01 00:00:00.000',
  span TIME NULL,
  spring YEAR NULL,
  place POINT NULL,
  peer INET6 NULL,
  doubled BIGINT GENERATED ALWAYS AS (tiny * 2) VIRTUAL,
  shouted VARCHAR(200) GENERATED ALWAYS AS (UPPER(words)) STORED,
  KEY (doubled), UNIQUE KEY (shouted), FULLTEXT KEY (page)
) COMMENT 'every type; it''s "quoted"';

CREATE TABLE empty (id INT PRIMARY KEY);

CREATE TABLE nokey (a INT NULL, b VARCHAR(20) NULL, KEY (a));

CREATE TABLE `tab``le with spaces – ünï 表` (
  `col umn` INT PRIMARY KEY COMMENT 'a -- comment',
  `back``tick` VARCHAR(50) NULL,
  `select` TEXT NULL,
  `größe; DROP` INT NULL
);

CREATE TABLE parent (
  id INT PRIMARY KEY,
  boss INT NULL,
  CONSTRAINT own_boss FOREIGN KEY (boss) REFERENCES parent (id)
);
CREATE TABLE child (
  id INT PRIMARY KEY,
  parent_id INT NOT NULL,
  total INT NOT NULL CHECK (total >= -5),
  CONSTRAINT child_parent FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE
);
CREATE TABLE journal (
  id INT AUTO_INCREMENT PRIMARY KEY,
  what VARCHAR(100) NOT NULL
);

CREATE TABLE sliced (id INT NOT NULL, year INT NOT NULL, PRIMARY KEY (id, year))
PARTITION BY RANGE (year) (
  PARTITION p2023 VALUES LESS THAN (2024),
  PARTITION p2024 VALUES LESS THAN (2025),
  PARTITION rest VALUES LESS THAN MAXVALUE
);
CREATE TABLE squeezed (id INT PRIMARY KEY, page TEXT) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;
CREATE TABLE versioned (id INT PRIMARY KEY, price INT) WITH SYSTEM VERSIONING;
CREATE TABLE isam (id INT PRIMARY KEY, word VARCHAR(50), KEY (word)) ENGINE=MyISAM;
CREATE TABLE aria (id INT PRIMARY KEY, word VARCHAR(50)) ENGINE=Aria TRANSACTIONAL=1;
CREATE SEQUENCE ticket START WITH 4711 INCREMENT BY 2 NOCACHE;

CREATE VIEW `grown ups` AS
  SELECT c.id, p.boss, CONCAT('it''s; ', c.total) AS `what; now` FROM child c JOIN parent p ON p.id = c.parent_id;

DELIMITER $$
CREATE TRIGGER child_written AFTER INSERT ON child FOR EACH ROW
BEGIN
  -- a comment; with a semicolon
  IF NEW.total < 0 THEN
    INSERT INTO journal (what) VALUES (CONCAT('negative; ', NEW.id)); /* another; one */
  END IF;
END$$

CREATE PROCEDURE tidy(IN younger_than INT, OUT gone INT)
  COMMENT 'removes; and counts'
BEGIN
  DECLARE note VARCHAR(50) DEFAULT 'a ; in a string -- and no comment';
  # an old style comment; here
  DELETE FROM journal WHERE id < younger_than;
  SET gone = ROW_COUNT();
END$$

CREATE FUNCTION shout(words TEXT CHARACTER SET utf8mb4) RETURNS TEXT CHARACTER SET utf8mb4 DETERMINISTIC
RETURN CONCAT(UPPER(words), '!;')$$

CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2024-03-01 03:00:00' DISABLE COMMENT 'never; really'
DO BEGIN CALL tidy(100, @gone); END$$
DELIMITER ;
