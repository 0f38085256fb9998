-- A house may lie in several databases: how many they are, and which of them this is. One that was made before is the only one.
INSERT INTO meta (name, value) VALUES ('databases', 1), ('database_index', 0) ON CONFLICT (name) DO NOTHING;
