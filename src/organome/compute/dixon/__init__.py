"""Fat fraction, and fat and water exchanged."""
