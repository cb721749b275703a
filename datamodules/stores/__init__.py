"""What `root` of an image folder may name: folders, archives, tables, arrays, databases.

The modules of sources (`members`, `rows`, `pixels`, `keys`) import neither torch nor Lightning.
"""
