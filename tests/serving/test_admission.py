from tests.simulator import Room

def test_it(tmp_path):
    room = Room.built(tmp_path)
    found = room.admit()
    print(room.refused)
    assert [m.role for m in found] == ["champion"]
