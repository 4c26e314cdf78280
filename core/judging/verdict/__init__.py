"""What a look allows to conclude: findings, limits shown to be kept, sound evidence, and what could be detected."""
